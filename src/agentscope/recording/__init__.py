"""The hot path: span, context, guard, queue, ledger."""
