"""The urls of a site for each package. They are imported only when the apps that they need are installed."""
