"""Runs that train side by side: their places, their plans, and what advances them."""
