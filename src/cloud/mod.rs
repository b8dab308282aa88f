//! The fallback to providers in the cloud: off until somebody gives a key.
