"""What the command line looks like; what each command does is in the modules beside this folder."""
