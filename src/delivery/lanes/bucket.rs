//! The token bucket of a lane.
