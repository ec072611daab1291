//! bytes -> chunks -> records -> events.
