"""Small files of the kinds that the shipped profiles read, and code of its own that finds their sums."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

KWH, POUND = 3_600_000_000, Fraction("453.59237")
ELSEWHERE = {
    *("dsmr-p1", "p1-luxembourg", "p1-sweden", "dsny", "household", "solar", "trash-wheel"),
    *("elhub-without-quality", "enedis-customer-page", "enphase-day-first", "half-hours-by-day-numbered", "pvdaq"),
    *("low-carbon-london-blocks", "sma-sbfspot", "sma-sunny-explorer-point", "solaredge-day-first"),
}
"""Profiles that have tests of their own, with real files, or in test_found_variants.py and test_telegrams.py."""

Sums = Mapping[str, int]


@dataclass(frozen=True)
class Sample:
    text: str
    sums: Callable[[str], Sums]
    """Source -> amount in smallest units."""
    first: str
    """When the earliest reading begins, UTC."""
    readings: int
    refused: Mapping[int, str] = field(default_factory=dict)
    encoding: str = "utf-8"


def by(text: str, delimiter: str, amount: Callable[[dict[str, str]], tuple[str, Fraction | None]]) -> Sums:
    """The sums of the lines that `amount` knows."""
    sums: dict[str, int] = defaultdict(int)
    for row in csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True):
        source, value = amount(row)
        if value is not None:
            sums[source] += round(value)
    return sums


def comma(text: str) -> Fraction:
    return Fraction(text.replace(",", "."))


FLUVIUS = (
    "Van (datum);Van (tijdstip);Tot (datum);Tot (tijdstip);EAN-code;Meter;Metertype;Register;Volume;Eenheid;"
    "Validatiestatus;Omschrijving\n"
    '26-10-2025;01:45:00;26-10-2025;02:00:00;="541440000000000017";1SAG1;Digitale meter;Afname Nacht;0,105;kWh;'
    "Uitgelezen;\n"
    '26-10-2025;02:00:00;26-10-2025;02:15:00;="541440000000000017";1SAG1;Digitale meter;Afname Nacht;0,250;kWh;'
    "Geschat;\n"
    '26-10-2025;02:00:00;26-10-2025;02:15:00;="541440000000000017";1SAG1;Digitale meter;Injectie Nacht;0,000;kWh;'
    "Uitgelezen;\n"
    '26-10-2025;02:00:00;26-10-2025;02:15:00;="541440000000000017";1SAG1;Digitale meter;Afname Nacht;0,125;kWh;'
    "Uitgelezen;\n"
    '26-10-2025;03:00:00;26-10-2025;03:15:00;="541440000000000017";1SAG1;Digitale meter;Afname Dag;;kWh;'
    "Geen verbruik;\n"
)
ENEDIS = (
    "Identifiant PRM;Date de début;Date de fin;Grandeur physique;Grandeur métier;Etape métier;Unité;Horodate;Valeur;"
    "Nature;Pas;Indice de vraisemblance;Etat complémentaire\n"
    "12345678901234;2025-03-13 00:00:00;2025-03-14 00:00:00;PA;CONS;BRUT;W;2025-03-13 00:30:00;692;B;PT30M;0;0\n"
    "12345678901234;2025-03-13 00:00:00;2025-03-14 00:00:00;PA;CONS;BRUT;W;2025-03-13 01:00:00;700;H;PT30M;0;0\n"
    "12345678901234;2025-03-13 00:00:00;2025-03-14 00:00:00;PA;PROD;BRUT;W;2025-03-13 01:30:00;100;B;PT30M;0;0\n"
    "12345678901234;2025-03-13 00:00:00;2025-03-14 00:00:00;PRI;CONS;BRUT;VAr;2025-03-13 01:30:00;9;B;PT30M;0;0\n"
)
ELHUB = (
    "Fra,Til,KWH 60 Forbruk,Kvalitet\n"
    '01.01.2026 00:00,01.01.2026 01:00,"1,234",Målt\n'
    '01.01.2026 01:00,01.01.2026 02:00,"0,766",Stipulert\n'
    '01.01.2026 02:00,01.01.2026 03:00,"2,5",Målt\n'
)
NEM12_DAY = ",".join(["0.5"] * 47 + ["1.25"])
NEM12 = (
    "100,NEM12,202607020900,MDP1,RETAILER\n"
    "200,6123456789,B1E1Q1,1,E1,N1,METER1,kWh,30,20260801\n"
    f"300,20260701,{NEM12_DAY},A,,,20260702030000,\n"
    f"300,20260702,{NEM12_DAY},V,,,20260703030000,\n400,1,40,A,,\n400,41,48,S14,32,\n"
    "200,6123456789,B1E1Q1,2,B1,N2,METER1,kWh,30,20260801\n"
    f"300,20260701,{NEM12_DAY},A,,,20260702030000,\n"
    "900\n"
)


def nem12(text: str) -> Sums:
    sums: dict[str, int] = defaultdict(int)
    source = ""
    for row in csv.reader(io.StringIO(text)):
        if row[0] == "200":
            source = f"{row[1]}/{row[4]}" if row[4].startswith("E") else ""
        elif row[0] == "300" and source:
            sums[source] += sum(round(Fraction(text) * KWH) for text in row[2:50])
    return sums


OCTOPUS = (
    "Consumption (kwh), Estimated Cost Inc. Tax (p), Standing Charge Inc. Tax (p), Start, End\n"
    "0.253000, 6.42, 0.93, 2026-04-01T00:00:00+01:00, 2026-04-01T00:30:00+01:00\n"
    "0.1, 2.5, 0.93, 2026-04-01T00:30:00+01:00, 2026-04-01T01:00:00+01:00\n"
)
CLOCKS = [f"{n // 2:02}:{n % 2 * 30:02}" for n in range(48)]
BY_DAY = (
    f"MPAN,Date,{','.join(CLOCKS)}\n"
    f"1012345678901,30/06/2026,{','.join(['0.5'] * 48)}\n"
    f"1012345678902,30/06/2026,{','.join(['0.25'] * 47)},\n"
    f"1012345678901,29/03/2026,{','.join(['1', '1', '', '', *['1'] * 44])}\n"
)


def by_day(text: str) -> Sums:
    sums: dict[str, int] = defaultdict(int)
    for row in csv.DictReader(io.StringIO(text)):
        sums[row["MPAN"]] += sum(round(Fraction(row[clock]) * KWH) for clock in CLOCKS if row[clock])
    return sums


LONDON = (
    "LCLid,stdorToU,DateTime,KWH/hh (per half hour) ,Acorn,Acorn_grouped\n"
    "MAC000002,Std,2012-10-12 00:30:00.0000000, 0 ,ACORN-A,Affluent\n"
    "MAC000002,Std,2012-10-12 01:00:00.0000000, 0.125 ,ACORN-A,Affluent\n"
    "MAC000003,Std,2012-10-12 01:00:00.0000000,Null,ACORN-A,Affluent\n"
)
LOW, NORMAL = "Electricity 1 (Dutch Users: Low Tariff)", "Electricity 2 (Dutch Users: Normal Tariff)"
DSMR = (
    f"Hour Start,{LOW},{NORMAL},Electricity 1 Returned (Dutch Users: Low Tariff),"
    "Electricity 2 Returned (Dutch Users: Normal Tariff),Gas\n"
    "2026-01-02T06:00:00+01:00,0.21,0,0,0,0.05\n"
    "2026-01-02T07:00:00+01:00,0.001,0.281,0,0,0.077\n"
    "2026-01-02T10:00:00+01:00,0,,0,0.006,0.499\n"
)
ENPHASE = "Date/Time,Energy Produced (Wh)\n" + "".join(f"07/{day}/2026 12:{m},9\n" for day in (3, 31) for m in (15, 30))
SOLAREDGE = "Time,System Production (W)\n07/03/2026 12:00,1200\n07/03/2026 12:15,800.5\n07/03/2026 12:30,\n"
SMA = (
    "sep=;\nVersion CSV1|Tool SE|Linebreaks CR/LF|Delimiter semicolon|Decimalpoint comma|Precision 3\n\n"
    ";SN: 2100000001;SN: 2100000001\n;SB 4000TL-20;SB 4000TL-20\n;2100000001;2100000001\n;Gesamtertrag;Leistung\n"
    ";Counter;Analog\ndd.MM.yyyy HH:mm:ss;kWh;kW\n"
    "28.06.2026 12:00:00; 70860,938; 2,400\n28.06.2026 12:05:00; 70861,138; 3,600\n28.06.2026 12:10:00;70861,4;-\n"
)
FRONIUS = (
    "Date and time;PV production [Wh];Energy to grid [Wh];Energy from grid [Wh];Consumed directly [Wh]\n"
    "01.07.2026 12:00;250,5;100;0;150,5\n01.07.2026 12:05;249,25;100;0;149,25\n"
)
AUSTIN = (
    "Report Date,Load Type,Load Time,Load Weight,Dropoff Site,Route Type,Route Number,Load ID\n"
    "12/08/2025,GARBAGE COLLECTIONS,12/08/2025 03:02:00 PM,5220,TDS LANDFILL,GARBAGE,PH13,538699\n"
    "12/08/2025,GARBAGE COLLECTIONS,12/08/2025 09:30:00 AM,11140.5,TDS LANDFILL,GARBAGE,PH13,538700\n"
    "12/08/2025,RECYCLING,12/08/2025 10:00:00 AM,,MRF,RECYCLING,RW04,538701\n"
    "11/02/2025,RECYCLING,11/02/2025 01:30:00 AM,100,MRF,RECYCLING,RW04,538702\n"
)
BIGBELLY = """{
    "assets": [
        {"latestFullness": 8, "reason": "NOT_READY", "serialNumber": 1512345, "accountName": "Town", "latitude": 61.392,
         "stationSerialNumber": 1512345, "description": "Torget", "ageThreshold": 0, "fullnessThreshold": 6,
         "lastCall": 1764949151000, "accountId": 1, "disposition": "OPERATIONAL", "streamType": "TRASH",
         "groupIds": [10157], "lastCollection": {"percentFull": 0, "timestamp": 1764872214000}, "position": "left",
         "longitude": 18.306, "status": "IN_SERVICE"},
        {"latestFullness": 3, "serialNumber": 1512346, "lastCall": 1764949151000, "streamType": "BOTTLES_CANS"},
        {"latestFullness": null, "serialNumber": 1512347, "lastCall": 1764949151000, "streamType": "TRASH"},
        {"latestFullness": 0, "serialNumber": 1512348, "lastCall": null, "streamType": "TRASH"}
    ],
    "errorCode": "STATUS_OK"
}
"""
AUSTIN_JSON = """[{"load_id":"538699","report_date":"2025-12-08T00:00:00.000","load_type":"GARBAGE COLLECTIONS",
"load_time":"2025-12-08T15:02:00.000","load_weight":"5220","dropoff_site":"TDS LANDFILL","route_type":"GARBAGE",
"route_number":"PH13"}
,{"load_id":"538700","load_type":"GARBAGE COLLECTIONS","load_time":"2025-12-08T09:30:00.000","load_weight":"11140.5",
"route_number":"PH13"}
,{"load_id":"538701","load_type":"RECYCLING","load_time":"2025-12-08T10:00:00.000","route_number":"RW04"}
,{"load_id":"538702","load_type":"RECYCLING","load_time":"2025-11-02T01:30:00.000","load_weight":"100",
"route_number":"RW04"}]
"""

DATEX_V2 = """<?xml version="1.0" encoding="UTF-8"?>
<d2LogicalModel xmlns="http://datex2.eu/schema/2/2_0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    modelBaseVersion="2"><exchange><supplierIdentification><country>nl</country></supplierIdentification></exchange>
<payloadPublication xsi:type="MeasuredDataPublication" lang="nl">
<publicationTime>2026-08-19T08:33:42.013Z</publicationTime>
<measurementSiteTableReference id="TABLE" version="1727" targetClass="MeasurementSiteTable"/>
<siteMeasurements>
<measurementSiteReference id="A10_1" version="2" targetClass="MeasurementSiteRecord"/>
<measurementTimeDefault>2026-08-19T08:32:00Z</measurementTimeDefault>
<measuredValue index="1"><measuredValue><basicData xsi:type="TrafficFlow"><vehicleFlow numberOfInputValuesUsed="12">
<vehicleFlowRate>720</vehicleFlowRate></vehicleFlow></basicData></measuredValue></measuredValue>
<measuredValue index="2"><measuredValue><basicData xsi:type="TrafficSpeed"><averageVehicleSpeed><speed>92.0</speed>
</averageVehicleSpeed></basicData></measuredValue></measuredValue>
<measuredValue index="3"><measuredValue><basicData xsi:type="TrafficFlow"><vehicleFlow><dataError>true</dataError>
<vehicleFlowRate>0</vehicleFlowRate></vehicleFlow></basicData></measuredValue></measuredValue>
</siteMeasurements>
<siteMeasurements>
<measurementSiteReference id="A10_2" version="1" targetClass="MeasurementSiteRecord"/>
<measurementTimeDefault>2026-08-19T10:33:00.000+02:00</measurementTimeDefault>
<measuredValue index="1"><measuredValue><basicData xsi:type="TrafficFlow"><vehicleFlow>
<vehicleFlowRate>90</vehicleFlowRate></vehicleFlow></basicData></measuredValue></measuredValue>
<measuredValue index="2"><measuredValue><basicData xsi:type="TrafficFlow"><vehicleFlow/></basicData></measuredValue>
</measuredValue>
</siteMeasurements></payloadPublication></d2LogicalModel>
"""
DATEX_V3 = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<mc:messageContainer xmlns:mc="http://datex2.eu/schema/3/messageContainer" xmlns:com="http://datex2.eu/schema/3/common"
    xmlns:roa="http://datex2.eu/schema/3/roadTrafficData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    modelBaseVersion="3"><mc:payload xsi:type="roa:MeasuredDataPublication" lang="nl" modelBaseVersion="3">
<com:publicationTime>2026-10-01T18:58:00Z</com:publicationTime>
<roa:siteMeasurements>
<roa:measurementSiteReference targetClass="roa:MeasurementSite" id="GAD_1" version="19"/>
<roa:physicalQuantity index="1"><roa:physicalQuantity xsi:type="roa:SinglePhysicalQuantity">
<roa:basicData xsi:type="roa:TrafficFlow"><roa:vehicleFlow accuracy="0.0"><com:vehicleFlowRate>240</com:vehicleFlowRate>
</roa:vehicleFlow></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:physicalQuantity index="2"><roa:physicalQuantity xsi:type="roa:SinglePhysicalQuantity">
<roa:basicData xsi:type="roa:TrafficSpeed"><roa:averageVehicleSpeed><com:speed>108.0</com:speed>
</roa:averageVehicleSpeed></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:measurementTimeDefault><roa:timeValue>2026-10-01T18:55:00Z</roa:timeValue></roa:measurementTimeDefault>
</roa:siteMeasurements>
<roa:siteMeasurements>
<roa:measurementSiteReference targetClass="roa:MeasurementSite" id="GAD_2" version="19"/>
<roa:physicalQuantity index="1"><roa:physicalQuantity xsi:type="roa:SinglePhysicalQuantity">
<roa:basicData xsi:type="roa:TrafficFlow"><roa:vehicleFlow><com:vehicleFlowRate>1260</com:vehicleFlowRate>
</roa:vehicleFlow></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:measurementTimeDefault><roa:timeValue>2026-10-01T18:56:00Z</roa:timeValue></roa:measurementTimeDefault>
</roa:siteMeasurements></mc:payload></mc:messageContainer>
"""


def flows(text: str) -> Sums:
    """Vehicles of a minute by site and index, from a tree of the document."""
    sums = {}
    for site in ElementTree.fromstring(text.encode()).iterfind(".//{*}siteMeasurements"):
        name = site.find("{*}measurementSiteReference").attrib["id"]
        for value in site:
            rate, error = value.find(".//{*}vehicleFlowRate"), value.find(".//{*}dataError")
            if rate is not None and (error is None or error.text == "false"):
                sums[f"{name}/{value.attrib['index']}"] = round(Fraction(rate.text or "0") / 60)
    return sums


CONTAINERS = """[
{"id": "urn:ngsi-ld:WasteContainer:1", "type": "WasteContainer", "binCapacity": {"type": "Property", "value": 43},
 "fillingLevel": {"type": "Property", "value": 0.65, "observedAt": "2026-11-27T09:58:03.123Z"},
 "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [-8.77, 42.6]}},
 "@context": ["https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld"]},
{"id": "urn:ngsi-ld:WasteContainer:2", "type": "WasteContainer",
 "fillingLevel": {"value": 1, "observedAt": "2026-11-27T09:50:00Z", "unitCode": "C62"}},
{"id": "urn:ngsi-ld:WasteContainer:3", "type": "WasteContainer", "fillingLevel": {"type": "Property", "value": 0.5}},
{"id": "urn:ngsi-ld:WasteContainer:4", "type": "WasteContainer"}
]
"""
CONTAINERS_SIMPLE = """[
{"id": "urn:ngsi-ld:WasteContainer:1", "type": "WasteContainer", "fillingLevel": 0.65,
 "binLoggedTime": "2026-11-27T15:28:03+05:30"},
{"id": "urn:ngsi-ld:WasteContainer:2", "type": "WasteContainer", "binLoggedTime": "2026-11-27T15:28:03+05:30"}
]
"""
METERS = """[
{"id": "urn:ngsi-ld:ThreePhaseAcMeasurement:1", "type": "ThreePhaseAcMeasurement", "totalActiveEnergyImport": [
 {"type": "Property", "value": 150781.5, "observedAt": "2026-11-27T10:00:00Z"},
 {"type": "Property", "value": 150781.75, "observedAt": "2026-11-27T10:15:00Z"},
 {"type": "Property", "value": 150782.5, "observedAt": "2026-11-27T10:30:00Z"}]},
{"id": "urn:ngsi-ld:ACMeasurement:2", "type": "ACMeasurement", "totalActiveEnergyImport":
 {"type": "Property", "value": 1059.8, "observedAt": "2026-11-27T10:00:00Z"}}
]
"""


def by_record(records: Sequence[Any], amount: Callable[[Any], tuple[str, Fraction | None]]) -> Sums:
    """The sums of the records that `amount` knows."""
    sums: dict[str, int] = defaultdict(int)
    for record in records:
        source, value = amount(record)
        if value is not None:
            sums[source] += round(value)
    return sums
