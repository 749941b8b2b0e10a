"""A small content service: a posted document becomes a content pack, in the background."""
