"""The board's own pins.

Inputs are `digital` (0 or 1) or `analog` (`raw * scale + offset`, raw 0..65535); outputs are
`digital`. An output that is bad, or whose program is, has its `safe` value.
"""

# mypy: ignore-errors
from machine import ADC, Pin


class Pins:
    """The board's surroundings, on its pins.

    Args:
        folder: Not used here.
        inputs: What the configuration says of each input, by name.
        outputs: The same of outputs.
        clock: Not used here.
    """

    def __init__(self, folder, inputs, outputs, clock):
        pulls = {"": None, "up": Pin.PULL_UP, "down": Pin.PULL_DOWN}
        self._inputs = {}
        for name, each in inputs.items():
            if each["kind"] == "analog":
                self._inputs[name] = (ADC(Pin(each["pin"])), each)
            else:
                self._inputs[name] = (Pin(each["pin"], Pin.IN, pulls[each["pull"]]), each)
        self._outputs = {}
        for name, each in outputs.items():
            level = each["safe"] ^ each["invert"]
            self._outputs[name] = (Pin(each["pin"], Pin.OUT, value=level), each)

    def read(self, name):
        """A number, or `None` where it cannot be read."""
        device, each = self._inputs[name]
        try:
            if each["kind"] == "analog":
                return device.read_u16() * each["scale"] + each["offset"]
            return device.value() ^ each["invert"]
        except OSError:
            return None

    def write(self, values):
        """Set outputs: (value, quality) by name."""
        for name, (device, each) in self._outputs.items():
            value, quality = values[name]
            wanted = each["safe"] if quality == 2 else 1 if value else 0
            device.value(wanted ^ each["invert"])
