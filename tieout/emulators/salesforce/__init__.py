"""A twin of Salesforce (REST data API, SOQL, collections, outbound messages) for rehearsal."""

from tieout.emulators.salesforce.service import Salesforce

EMULATOR = Salesforce
