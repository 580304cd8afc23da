//! Poll-mode drivers: bursts of frames in, bursts of frames out.
