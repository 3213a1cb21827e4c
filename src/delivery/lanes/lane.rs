//! One webhook's lane.
