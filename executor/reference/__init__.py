"""What is known of engines, models, GPUs and measured serving: tables with sources, and their readers."""
