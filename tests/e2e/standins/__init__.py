"""Stand-ins for services that cannot be run here, each as strict as the service's documentation."""
