"""What leaves the city: windows in their slots, the ledger of entries that outlives the database, the publisher."""
