"""Change feed: what happened to instances, in order, with what became of them."""
