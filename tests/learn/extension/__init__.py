"""Code that an extension would bring: a method and a task, one file each."""
