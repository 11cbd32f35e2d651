"""One file per verb. A verb imports what is heavy inside its function, so that help stays quick."""
