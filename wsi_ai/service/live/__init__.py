"""What happens while people look: one WebSocket a tab."""
