"""The door of the city's own senders: readings over HTTP. It answers no partner, and serves nothing."""
