"""Published networks whose weights come from the Hugging Face hub."""
