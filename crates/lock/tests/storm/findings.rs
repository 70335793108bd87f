//! What does not hold yet. Each of these fails, and says what should be; whoever mends it takes away
//! the `ignore`.
