//! Steering as a whole (D-7, T-12): stacks of several cores behind a device that spreads as it likes, in virtual time.

mod owner;
