//! The plan (to come)
