"""Plain torch modules: nothing here knows how it is trained."""
