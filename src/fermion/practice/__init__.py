"""Project practice: the only room that sees all the others. From a project file to a verified, registered bundle."""
