//! The server (to come)
