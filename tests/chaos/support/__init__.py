"""What kill tests share: the cutting proxy, seeds and figures, the record of results. No tests here."""
