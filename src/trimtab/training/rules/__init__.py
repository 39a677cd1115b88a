"""Losses, optimizers, schedules and stopping: by formula, with coefficients per lane."""
