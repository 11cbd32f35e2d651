"""Work shared among processes: where tasks run, workers that keep state, arrays in shared memory."""
