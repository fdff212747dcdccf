"""How the calibration report looks, on a telephone, a screen and paper."""

CSS = """
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #111; background: #fff;
  max-width: 78rem; margin: 2rem auto; padding: 0 1.5rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.3rem; margin-top: 2.2rem; }
section { border-top: 2px solid #111; margin-top: 2.5rem; }
.promise { font-size: 1.15rem; border-left: 6px solid #0072b2; padding: .3rem 0 .3rem 1rem; }
.nothing { border-left: 6px double #111; }
.warning { border: 2px solid #111; padding: .7rem 1rem 0; margin: 1rem 0; break-inside: avoid; }
/* A plot and a table stand side by side only where both have room; a table wider than the page scrolls by itself. */
.pair { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; }
figure { flex: 1 1 35rem; margin: 1rem 0; min-width: 0; break-inside: avoid; }
figcaption { font-size: .88rem; color: #333; margin-top: .4rem; max-width: 45rem; }
svg { width: 100%; max-width: 40rem; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #999;
  overflow-wrap: normal; }
thead th { border-bottom: 2px solid #111; }
tbody th { font-weight: normal; min-width: 8rem; overflow-wrap: anywhere; }
tr.marked > * { font-weight: bold; }
footer { border-top: 2px solid #111; margin-top: 2.5rem; font-size: .92rem; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) minmax(0, 1fr); gap: .15rem 1.2rem; }
dd { margin: 0; }
/* On a telephone each row becomes a list of its cells, each with the heading of its column. */
@media (max-width: 40rem) { body { margin: 1rem auto; padding: 0 1rem; } ul { padding-left: 1.2rem; }
  thead { display: none; } table, tbody, tr, th, td { display: block; border: 0; }
  tr { border-bottom: 1px solid #999; padding: .4rem 0; } tbody th { font-weight: bold; }
  td { display: flex; gap: 1rem; padding: .05rem 0; overflow-wrap: anywhere; }
  td::before { content: attr(data-label); flex: 0 0 45%; color: #333; font-weight: normal; } }
@media print { body { max-width: none; margin: 0; font-size: 10pt; } h2 { break-after: avoid; }
  .pair { display: block; } .scroll { overflow: visible; } svg { max-width: 12cm; } }
"""
