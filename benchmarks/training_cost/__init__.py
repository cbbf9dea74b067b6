"""What recording one step in ten adds to a training of `sppkit train`."""
