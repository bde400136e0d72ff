# gnuplot -c plot.gnuplot MEDIANS SVG: the bars of docs/benchmarks.svg. MEDIANS has a line for each peer: its name, then median,
# lowest and highest of what Quantity.plotted lists, in its order. Dark and light bars differ without colour, too.
set terminal svg size 980,860 dynamic font "Helvetica,Arial,sans-serif,13" background "white"
set output ARG2
set multiplot layout 2,2 margins 0.075,0.985,0.135,0.945 spacing 0.085,0.205
set style data histograms
set style histogram errorbars gap 1.2 linewidth 1
set style fill solid 1 border rgb "#303030"
set style line 1 linecolor rgb "#0b4f8a"
set style line 2 linecolor rgb "#f2b84b"
set xtics rotate by -30 nomirror scale 0 font ",12"
set ytics nomirror
set grid ytics back linecolor rgb "#d0d0d0"
set border 3
set key top right samplen 1.5 spacing 1.1 font ",12"
set yrange [0:*]
set auto fix
set offsets 0.3, 0.3, graph 0.12, 0

set title "TCP goodput, client to server"
set ylabel "Gbit/s"
plot ARG1 using 2:3:4:xtic(1) ls 1 title "1 stream", "" using 5:6:7 ls 2 title "4 streams"

set title "Processor time, 1 stream of TCP"
set key top left Left reverse
set ylabel "s per 10^9 bytes"
plot ARG1 using 8:9:10:xtic(1) ls 1 title "both daemons", "" using 11:12:13 ls 2 title "the whole machine"

set key top right noreverse Right
set title "UDP, highest rate with at most 0.5 % lost"
set ylabel "1000 packets/s"
plot ARG1 using 14:15:16:xtic(1) ls 1 title "64 B", "" using 17:18:19 ls 2 title "1300 B"

set title "Ping under 4 streams of TCP"
set key top left Left reverse
set ylabel "ms"
plot ARG1 using 20:21:22:xtic(1) ls 1 title "p50", "" using 23:24:25 ls 2 title "p99"

unset multiplot
