//! Whose webhooks an event is for.
