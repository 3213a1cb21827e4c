//! The circuit breaker of a lane.
