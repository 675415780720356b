"""What the operating system gives: processes, containers, threads, paths, times, texts."""
