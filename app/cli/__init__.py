"""The command line: ``commands`` declares the commands, the other modules do their work."""
