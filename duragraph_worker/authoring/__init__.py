"""From decorated classes to checked plans. Knows neither the executor nor a network."""
