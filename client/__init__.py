"""The client: streams a CSV of photos through the `relight` ensemble and keeps what comes back."""
