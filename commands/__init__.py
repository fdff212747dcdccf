"""The commands of the command line, a module each; everything heavy is imported by the command that needs it."""
