"""The ground floor that all packages share: configurations, errors, files, locks and devices."""
