//! Every bound of the server, with its unit in its name and its reason beside it.
