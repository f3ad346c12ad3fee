"""Other libraries' interfaces on top of `sutra.Index`: change one import, keep the program."""
