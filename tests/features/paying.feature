Feature: Paying for an order
  A customer is charged the whole total, and charged it once.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: Paying takes the money and the units

    Scenario: A card that is good
      When she pays
      Then her order is paid
      And her card has been charged 25.00 EUR
      And 3 fountain pens are left
      And the events of her order are: placed, payment requested, stock reserved, paid

  Rule: An order is paid for at most once

    Scenario: She asks to pay twice, being impatient
      When she asks to pay twice
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the payment has been recorded once

    Scenario: She asks to pay again after she has paid
      Given she has paid
      When she pays
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the payment has been recorded once

  Rule: The shop completes what was paid for, and nothing else

    Scenario: She has paid
      Given she has paid
      When the shop completes her order
      Then her order is completed
      And 3 fountain pens are left

    Scenario: She has not paid
      When the shop completes her order
      Then that is refused: illegal transition
      And her order awaits payment
