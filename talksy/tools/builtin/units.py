"""Units of measure, by a table: a factor to the base unit of each quantity, exact by definition."""

from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field

from talksy.tools.faults import validation_error
from talksy.tools.function import tool

DIGITS = 12
"""Of a result that count."""

_TABLE = """
length m
  1: m meter metre meters metres
  1e3: km kilometer kilometre kilometers kilometres
  1e-2: cm centimeter centimetre centimeters centimetres
  1e-3: mm millimeter millimetre millimeters millimetres
  1e-6: µm um micrometer micrometre micrometers
  1e-9: nm nanometer nanometre nanometers
  0.0254: in inch inches
  0.3048: ft foot feet
  0.9144: yd yard yards
  1609.344: mi mile miles
  1852: nmi nautical_mile nautical_miles
mass kg
  1: kg kilogram kilograms kilo kilos
  1e-3: g gram grams
  1e-6: mg milligram milligrams
  1e-9: µg ug microgram micrograms
  1e3: t tonne tonnes metric_ton metric_tons
  0.45359237: lb lbs pound pounds
  0.028349523125: oz ounce ounces
  6.35029318: st stone stones
volume m3
  1: m3 m³ cubic_meter cubic_metre cubic_meters
  1e-3: l L liter litre liters litres
  1e-4: dl deciliter decilitre
  1e-5: cl centiliter centilitre
  1e-6: ml mL milliliter millilitre milliliters cm3 cm³
  0.003785411784: gal gallon gallons
  0.000946352946: qt quart quarts
  0.000473176473: pt pint pints
  0.0002365882365: cup cups
  0.0000295735295625: fl_oz floz fluid_ounce fluid_ounces
  0.00001478676478125: tbsp tablespoon tablespoons
  0.00000492892159375: tsp teaspoon teaspoons
  0.00454609: imp_gal imperial_gallon imperial_gallons
  0.028316846592: ft3 ft³ cubic_foot cubic_feet
area m2
  1: m2 m² square_meter square_metre square_meters
  1e6: km2 km² square_kilometer square_kilometre
  1e-4: cm2 cm² square_centimeter square_centimetre
  1e4: ha hectare hectares
  0.09290304: ft2 ft² sqft square_foot square_feet
  0.00064516: in2 in² square_inch square_inches
  4046.8564224: acre acres
  2589988.110336: mi2 mi² square_mile square_miles
speed m/s
  1: m/s mps meters_per_second
  1/3.6: km/h kmh kph kilometers_per_hour
  0.44704: mph mi/h miles_per_hour
  1852/3600: kn kt knot knots
  0.3048: ft/s fps feet_per_second
time s
  1: s sec second seconds
  1e-3: ms millisecond milliseconds
  1e-6: µs us microsecond microseconds
  60: min minute minutes
  3600: h hr hour hours
  86400: d day days
  604800: wk week weeks
  31557600: yr year years
data B
  1: B byte bytes
  1/8: bit bits
  1e3: kB KB kilobyte kilobytes
  1e6: MB megabyte megabytes
  1e9: GB gigabyte gigabytes
  1e12: TB terabyte terabytes
  1024: KiB kibibyte
  1048576: MiB mebibyte
  1073741824: GiB gibibyte
  1099511627776: TiB tebibyte
  125: kbit kb kilobit
  125e3: Mbit Mb megabit
  125e6: Gbit Gb gigabit
energy J
  1: J joule joules
  1e3: kJ kilojoule kilojoules
  4.184: cal calorie calories
  4184: kcal kilocalorie kilocalories
  3600: Wh watt_hour watt_hours
  3.6e6: kWh kilowatt_hour kilowatt_hours
  1055.05585262: BTU btu
  1.602176634e-19: eV electronvolt
pressure Pa
  1: Pa pascal pascals
  100: hPa hectopascal mbar millibar
  1e3: kPa kilopascal
  1e5: bar bars
  101325: atm atmosphere atmospheres
  6894.757293168: psi
  101325/760: mmHg torr Torr
"""
# To kelvins: what is added first, then the factor.
_SCALES: Mapping[str, tuple[Fraction, Fraction]] = {
    "C": (Fraction("273.15"), Fraction(1)),
    "K": (Fraction(0), Fraction(1)),
    "F": (Fraction("459.67"), Fraction(5, 9)),
    "R": (Fraction(0), Fraction(5, 9)),
}
_DEGREES = {"°C": "C", "celsius": "C", "°F": "F", "fahrenheit": "F", "kelvin": "K", "rankine": "R"}

Unit = tuple[str, Fraction, Fraction]
"""The quantity, then what is added to a value before it is multiplied to be in the base unit."""


def _read(table: str) -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    quantity = ""
    for line in table.strip().splitlines():
        if not line.startswith(" "):
            quantity = line.split()[0]
            continue
        factor, _, names = line.partition(":")
        over, _, under = factor.strip().partition("/")
        scale = Fraction(over) / Fraction(under or 1)
        units.update(dict.fromkeys(names.split(), (quantity, Fraction(0), scale)))
    for name, (offset, scale) in _SCALES.items():
        units[name] = ("temperature", offset, scale)
    return units | {name: units[scale] for name, scale in _DEGREES.items()}


UNITS = _read(_TABLE)

Name = Annotated[str, Field(max_length=40)]


@tool(category="utility", idempotent=True)
async def unit_convert(
    value: Annotated[float, Field(ge=-1e30, le=1e30)], from_: Name, to: Name
) -> dict[str, Any]:
    """Converts a value between units of length, mass, temperature, volume, area, speed, time, data,
    energy or pressure.

    Args:
        value: how much, in the first unit
        from: its unit, such as km, lb, C, gal or km/h
        to: the unit that is wanted, of the same quantity
    """
    quantity, offset, scale = _unit("from", from_)
    other, other_offset, other_scale = _unit("to", to)
    if quantity != other:
        fault = f"{to} measures {other}, {from_} {quantity}: choose two of one quantity"
        raise validation_error([("to", fault)])
    base = (Fraction(repr(value)) + offset) * scale
    if quantity == "temperature" and base < 0:
        raise validation_error([("value", "it is colder than absolute zero")])
    result = float(base / other_scale - other_offset)
    return {
        "value": value,
        "from": from_,
        "to": to,
        "result": float(f"{result:.{DIGITS}g}"),
        "quantity": quantity,
    }


def _unit(path: str, name: str) -> Unit:
    """A unit by its name: as it is written, else by whichever it can be but for capitals."""
    asked = name.strip().replace(" ", "_")
    found = UNITS.get(asked)
    if found is None:
        alike = {unit for known, unit in UNITS.items() if known.lower() == asked.lower()}
        found = alike.pop() if len(alike) == 1 else None
    if found is None:
        near = get_close_matches(asked, UNITS, n=3, cutoff=0.6)
        hint = f": did you mean {', '.join(near)}?" if near else "; examples are km, lb, C and gal"
        raise validation_error([(path, f"there is no such unit{hint}")])
    return found
