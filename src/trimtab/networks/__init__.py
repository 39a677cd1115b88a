"""The caller's own modules: what comes in, copies, own losses and optimizers, data that is read anew."""
