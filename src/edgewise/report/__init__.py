"""What a person looks at: tables, plots and one page, from stored results; nothing is run here."""
