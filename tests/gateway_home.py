"""A gateway's home directory that is right in every way, for tests that spoil it."""

from __future__ import annotations

from pathlib import Path

from protocols.enrolment import SECRET_BYTES, Token

GATEWAY_TOML = """\
[gateway]
id = "unit-1"
site = "plant-a"

[scan.fast]
period_s = 1

[scan.slow]
period_s = 10
phase_s = 0.5

[device.plc1]
driver = "modbus-tcp"
host = "192.0.2.1"
port = 502

[device.plc2]
driver = "modbus-tcp"
host = "192.0.2.2"
unit = 3

[buffer]
flush_s = 1.0
quota_mb = 512
policy = "drop-oldest"

[[upstream]]
id = "hub-east"
address = "tcp://hub-east.example:5570"
link = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
signing = "1111111111111111111111111111111111111111111111111111111111111111"

[[upstream]]
id = "hub-west"
address = "tcp://hub-west.example:5570"
link = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
signing = "2222222222222222222222222222222222222222222222222222222222222222"

[headquarters]
id = "headquarters"
signing = "3333333333333333333333333333333333333333333333333333333333333333"

[uplink]
live_first_s = 60

[log]
level = "info"
"""

POINTS_CSV = """\
id,name,device,address,type,scan_class,unit,scale,offset,low,high,report,deadband,deadband_unit,max_silence_s,description
1,FT-101,plc1,holding:0,uint16,fast,t/h,0.1,,0,2000,always,,,,Feed water flow
2,PT-102,plc1,holding:2,f32,fast,MPa,,,0,25,swinging_door,0.02,absolute,60,Drum pressure
,LT-103,plc1,holding:4,int16,slow,mm,,,-300,300,deadband,0.5,percent,300,Drum level
,XS-104,plc2,coil:0,bool,fast,,,,,,change,,,3600,"Feed pump A, running"
,TXT-105,plc2,holding:200.16,string,slow,,,,,,change,,,,Batch name
,TE-106,plc2,1!40011#BB,f64,slow,Cel,1.8,32,,,always,,,,给水温度
"""


def make_home(
    directory: Path, config: str | bytes | None = GATEWAY_TOML, points: str | bytes | None = POINTS_CSV
) -> Path:
    """Write a home directory without keys; `None` leaves a file out."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in (("gateway.toml", config), ("points.csv", points)):
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (directory / name).write_bytes(data)
    return directory


def token_of(id: str = "unit-1", site: str = "plant-a", role: str = "gateway") -> str:
    """A token as headquarters would give it, of no group that there is."""
    secret = id.encode().ljust(SECRET_BYTES, b"#")[:SECRET_BYTES]
    return Token("tcp://hub.example:7502", bytes(range(32)), bytes(32), secret, id, site, role).text()
