"""Methods that LocoProp is related to, as far as an identity ties them to it."""
