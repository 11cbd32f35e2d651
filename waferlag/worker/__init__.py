"""The worker: takes queued runs, runs each in a child process, stores what came out, alerts."""
