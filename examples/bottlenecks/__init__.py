"""Agent services with one bottleneck each, and the switch that takes it out."""
