"""What tests share: servers, databases, waiting. No tests here."""
