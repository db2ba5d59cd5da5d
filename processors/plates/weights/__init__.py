"""The plate network's weights, and what is known of them."""
