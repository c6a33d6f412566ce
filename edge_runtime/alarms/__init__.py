"""Alarms after ISA-18.2: states, the gateway's journal, operators' commands, and performance figures."""
